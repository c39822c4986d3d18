"""The launches of the reassembly operator in Pallas."""
