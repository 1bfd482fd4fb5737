"""Several workers on one database: on one machine, with Compose, on Kubernetes."""
