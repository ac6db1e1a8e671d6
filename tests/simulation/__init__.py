"""A deterministic simulation of a fleet: real nodes, one simulated store, network, time and trouble, all from one seed.

Theory. A *story* is drawn from a seed: jobs, nodes, what goes wrong and what people do. It is played in one thread. The
nodes are what production runs (`Scheduler`, `Host`, `Node`, `Engine`, `Performer`, `Renewal`); what they stand on is
simulated: clocks that drift and jump (`machine`), threads and time (`world`), calls that get lost on the way to the
store (`network`), jobs (`work`). A *ledger* of its own (`ledger`) sees what the store answered and what jobs did, and
holds both against C1 to C7 after every step.

Law: nothing here asks a real clock or any chance but the seed's, so that a seed is a story, for ever the same.

    python -m tests.simulation --seeds 1000
    python -m tests.simulation --replay 42
"""
