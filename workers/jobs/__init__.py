"""Jobs and their files: what is stored, who holds what, and what is put right after a crash."""
