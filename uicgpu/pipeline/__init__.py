"""The rooms joined: the stages of a run, and what can be done with a finished one."""
