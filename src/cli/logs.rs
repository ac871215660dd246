//! Log lines on standard error: for people, or as JSON for programs. `RUST_LOG` says which.

use tracing_subscriber::EnvFilter;

/// What is logged where `RUST_LOG` does not say: a service tells what it does, a command only what is wrong.
fn filter(serves: bool) -> EnvFilter {
    let usual = if serves { "info,sled=error" } else { "warn,sled=error" };
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual))
}

/// Begins to log.
pub fn begin(serves: bool, json: bool) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(serves)).with_writer(std::io::stderr);
    let begun = match json && serves {
        true => lines.json().flatten_event(true).with_current_span(true).with_span_list(true).try_init(),
        false => lines.try_init(),
    };
    if let Err(why) = begun {
        // An embedding program has its own; its lines are these.
        tracing::debug!(error = %why, "log lines go where they went before");
    }
}
