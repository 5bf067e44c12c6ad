"""The face of Fractune: HTTP API, dashboard, command line and Python client. It stores and asks; it never loads a model."""
