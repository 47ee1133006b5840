//! The directory: reference data, loaded from files.
