"""The launches of the reassembly operator, written in Pallas."""
