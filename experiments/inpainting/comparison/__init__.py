"""A sheet of fills by CARAFE++, by plain layers and by a classic method."""
