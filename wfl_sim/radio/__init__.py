"""The shared medium: bandwidth, slots, packets, retransmissions, energy and the ledger."""
