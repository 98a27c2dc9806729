"""How much CPU our dump costs beside the tools people use today."""
