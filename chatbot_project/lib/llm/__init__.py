"""Language models: one client protocol for every provider, with its own deadlines, retries and stream validation.

``providers`` says who can be asked, ``client.LLMClient`` asks, ``stream.ChatStream`` is a reply that is arriving,
``errors.LLMError`` is everything that can go wrong with any of it. Import from these: the package itself stays light,
because settings read ``providers``. The SDK takes half a second and 20 MiB to import: ``client`` does where it asks.
"""
