//! Rank 3: counters, histograms and their names.
