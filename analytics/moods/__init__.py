"""How conversations go and what they are about, in numbers only: of people who agreed, counted on this machine."""
