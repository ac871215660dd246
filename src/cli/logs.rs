//! Log lines on standard error: for people, or as JSON for programs. `RUST_LOG` says which.

use tracing_subscriber::EnvFilter;

use super::args::Command;

/// What is logged where `RUST_LOG` does not say.
fn usual(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) => "info,sled=error",
        // All that goes wrong in it was ordered, and its report counts it.
        Command::Demo(_) => "off",
        _ => "warn,sled=error",
    }
}

/// Begins to log.
pub fn begin(command: &Command, json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual(command)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let serves = matches!(command, Command::Serve(_));
    let begun = match json && serves {
        true => lines.json().flatten_event(true).with_current_span(true).with_span_list(true).try_init(),
        false => lines.try_init(),
    };
    if let Err(why) = begun {
        // An embedding program has its own; its lines are these.
        tracing::debug!(error = %why, "log lines go where they went before");
    }
}
