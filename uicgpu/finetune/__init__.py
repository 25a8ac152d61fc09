"""The encoder learns from behaviour: pairs without leaks, losses, ranking maps, and a gate that decides what ships."""
