"""What the commands share: output, options, exit codes, and the way to a service or to a local run."""
