"""The parts of the sample workload, one module per kind of task. All of it is of our own making."""
