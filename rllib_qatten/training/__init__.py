"""How Q_tot learns: batches, RLModules, Learner, returns."""
