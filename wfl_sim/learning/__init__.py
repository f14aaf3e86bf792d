"""Models, data, partitions and local training."""
