"""Signals of this app; what it does when somebody is signed in or out stands in receivers.py."""

from django.dispatch import Signal

#: ``guest``, ``user``: a guest has signed in to an existing account, which takes over what the guest owns. Sent inside
#: the transaction that retires the guest; whoever keeps things of people moves them here.
guest_merged = Signal()

#: ``people``: ids of people whose rows are about to be deleted. Sent inside the transaction that does it; whoever keeps
#: figures takes down here what counts of theirs.
people_leaving = Signal()

#: ``user``, ``purpose``: somebody has withdrawn or refused a consent. Sent inside the transaction that notes it;
#: whoever keeps something by that consent lets go of it here.
consent_withdrawn = Signal()

#: ``user``: processing of what they hold is paused from now on. Sent inside the transaction that does it; whoever has
#: something under way for them stops it once that stands.
processing_restricted = Signal()

#: ``sign_up``, ``user``: an account was made of a sign-up. Sent inside the transaction that makes it.
sign_up_completed = Signal()
