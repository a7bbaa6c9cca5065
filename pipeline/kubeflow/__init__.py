"""The pipeline on Kubeflow Pipelines: compiled, checked, started and scheduled."""
