"""What all requests share: errors, schemas, dependencies, figures, the path prefix, and a client's connection."""
