"""The pipeline on Kubeflow Pipelines: compiled, uploaded, started, scheduled and watched."""
