"""A page in the browser to separate recordings, play the voices and look at masks and embeddings."""
