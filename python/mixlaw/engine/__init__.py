"""Where many jobs run: in this process, and on a cluster with Ray."""
