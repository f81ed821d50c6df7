//! Rank 4: who may call what. Pure: state and now in, verdict out.
