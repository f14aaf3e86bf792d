"""Stage 1 of TSFA: the rank of the adapters, chosen before a run from its links and from a short pilot.

`options` is what a scenario says, `links` what the air carries, `pilot` what some rounds of training show, `choice` the
table of candidates and the rank. For a plan, `arms` finds the arm, `budget` the latency budget, `advice` V and who
binds, `settings` what to set, `cost` what that takes, `report` puts them together, `plane` is for its picture, `words`
tell it, and `command` runs what it says. No tensor library but where pilots run.
"""
