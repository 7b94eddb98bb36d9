"""Deployments under random faults in virtual time; one number decides everything that happens.

    python -m tests.soak --seeds 10 [--first 1] [--deployments 50] [--devices 200] [--jobs 1]

Devices are deaf, mute, slow, wrong or lucky; frames, calls and events get lost, delayed or doubled; the
network is slow to answer or to send, for a while or always; it goes away, hangs, or does what it is asked
and does not say so; so does the database; somebody deletes a group or cancels a deployment; another server
takes over and gives back; the process dies, at any moment or at a commit, and comes back.

Whatever happened: every deployment ends, no actor crashes, nothing is left behind, and what the journal
says is so (`witness.py`, `invariants.py`). Where nothing is lost on the air (`air.py`), every device that
does everything right holds its image, too, even with a single attempt for each request.
"""
