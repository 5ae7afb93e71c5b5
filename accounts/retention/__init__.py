"""Retention: what is over, by which policy, held or not, and its removal.

``policies`` says how long, ``holds`` what stays whatever its time, ``sweeps`` what can be over, ``runs`` removes it.
"""
