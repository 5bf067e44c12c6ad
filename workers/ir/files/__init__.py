"""From what a user gives, a file, a folder or a zip, to the files of one model, told by their content."""
