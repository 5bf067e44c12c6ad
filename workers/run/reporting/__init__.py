"""All that a job found out, put together and told."""
