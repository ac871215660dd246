//! What a tenant's service promises, one claim each, on two pretend sides and a clock turned by hand.

mod orders;
mod reading;
mod shelf;
