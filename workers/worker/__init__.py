"""The worker as a process: takes jobs from the queue, has a sandboxed child do each, shows that it is alive."""
