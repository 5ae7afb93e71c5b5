"""Language models: one client protocol for every provider, with its own deadlines, retries and stream validation.

``providers`` says who can be asked, ``client.LLMClient`` asks, ``stream.ChatStream`` is a reply that is arriving,
``errors.LLMError`` is everything that can go wrong with any of it. Import from these: the package itself stays light,
because settings read ``providers`` and the SDK behind ``client`` takes half a second to import.
"""
