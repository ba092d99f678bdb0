"""Making it so: gather → plan (pure) → apply through drivers → record what was observed.

Everything here is level-triggered: a reconciler looks at what should be and at what is, whoever woke it, so a lost
wake-up, a crash in the middle or a double run does no harm. One key is worked on by one worker at a time.
"""
