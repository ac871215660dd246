//! The portal's dialect, both ways, against the pretend portal.
