"""What a machine must offer; set-up and the doctor agree on it, and both run without packages."""

PYTHON_VERSION = (3, 11)
"""TFX allows the Kubeflow SDK below 3.12 only."""
GLIBC_VERSION = (2, 39)
"""The wheels of ml-metadata and tensorflow-data-validation are built for manylinux_2_39."""
ARCHITECTURE = "x86_64"
"""The only one that TFX publishes Linux wheels for."""
