"""Stage 1 of TSFA: the rank of the adapters, chosen before a run from its links and from a short pilot.

`options` is what a scenario says, `links` what the air carries, `pilot` what some rounds of training show, `choice` the
table of candidates and the rank, `advice` and `report` what to set. No tensor library but where pilots run.
"""
