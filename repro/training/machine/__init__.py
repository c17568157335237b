"""What a runtime means on this machine: its device, memory, processes and signals."""
