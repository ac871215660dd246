//! Why a command could not do what it was asked, and what it ends with.

use std::{error::Error, io, net::SocketAddr, path::PathBuf};

use super::{bench_hooks::HooksError, bench_shown::ShownError};
use crate::{
    engine::EngineError,
    log::LogError,
    manifest::Fault,
    server::TokenError,
    service::{AskError, FleetError, OrderError, PullError, ServiceError},
};

/// How a command that ran to its end ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is well.
    Done,
    /// Something was found wrong, and told.
    Wrong,
}

impl End {
    /// Well, or not.
    pub fn well(is_well: bool) -> Self {
        if is_well { End::Done } else { End::Wrong }
    }
}

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command makes no sense as it was given.
    #[error("{0}")]
    Use(String),
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A tenant's service failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// An order was not carried out.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Whoever serves the store could not be asked, or did not do it.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Tenants cannot be served.
    #[error(transparent)]
    Fleet(FleetError),
    /// The CRM could not be looked at.
    #[error(transparent)]
    Pull(PullError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Threads or signals could not be had.
    #[error("the system does not give what a service needs")]
    Runtime(#[source] io::Error),
    /// The tokens cannot be read or written.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nothing can be measured.
    #[error(transparent)]
    Hooks(#[from] HooksError),
    /// Nothing can be measured between sides.
    #[error(transparent)]
    Shown(#[from] ShownError),
    /// The demo cannot run.
    #[error(transparent)]
    Demo(crate::sim::demo::DemoError),
    /// The demo over HTTP cannot run.
    #[error(transparent)]
    Live(crate::sim::live::LiveError),
    /// A file that was named cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A manifest has faults.
    #[error("{} has {} faults", path.display(), faults.len())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Its faults.
        faults: Vec<Fault>,
    },
    /// A pretend side cannot be served.
    #[error("cannot serve")]
    Serve(#[source] io::Error),
    /// Standard output failed.
    #[error("cannot write the answer")]
    Write(#[from] io::Error),
}

impl From<FleetError> for Failure {
    fn from(why: FleetError) -> Self {
        match why {
            FleetError::Read { path, source } => Failure::Read { path, source },
            FleetError::Manifest { path, faults } => Failure::Manifest { path, faults },
            FleetError::Engine(why) => Failure::Engine(why),
            FleetError::Service(ServiceError::Engine(why)) => Failure::Engine(why),
            why => Failure::Fleet(why),
        }
    }
}

impl Failure {
    /// The error of the store, wherever it was met.
    fn of_engine(&self) -> Option<&EngineError> {
        match self {
            Failure::Engine(why)
            | Failure::Service(ServiceError::Engine(why))
            | Failure::Order(OrderError::Engine(why) | OrderError::Service(ServiceError::Engine(why))) => Some(why),
            _ => None,
        }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Use(_) | Failure::Token(TokenError::Unknown(_)) => 2,
            Failure::Order(OrderError::Side { .. } | OrderError::Name { .. }) => 2,
            _ if matches!(self.of_engine(), Some(EngineError::NoStore(_))) => 2,
            Failure::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => 2,
            _ => 1,
        }
    }

    /// What to say of it, causes and cure included.
    pub fn to_lines(&self) -> Vec<String> {
        let mut lines = match self {
            Failure::Manifest { path, faults } => {
                faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect()
            }
            other => vec![format!("error: {}", chain(other))],
        };
        lines.extend(self.cure().map(|cure| format!("help: {cure}")));
        lines
    }

    fn cure(&self) -> Option<&'static str> {
        if let Failure::Token(TokenError::Unknown(_)) = self {
            return Some("`syncline token list` shows those that there are");
        }
        match self.of_engine()? {
            EngineError::NoStore(_) => Some("make one with `syncline init`, or name another with --store"),
            EngineError::Log(why) if why.is_disk_full() => {
                Some("free some space and run the command again: what was taken in before is recognised")
            }
            EngineError::NoSpace { .. } => Some("free some space, or say with --free-mib that less is to stay free"),
            EngineError::Log(LogError::Failed { .. }) => {
                Some("run the command again once the disk works: what was taken in before is recognised")
            }
            EngineError::Log(LogError::Locked { .. }) => Some("wait until it is done, or stop it"),
            EngineError::Log(LogError::Format { .. }) => Some("use the version of syncline that made the store"),
            EngineError::Log(LogError::Exists { .. }) => Some("the store is there already; use it as it is"),
            EngineError::Log(LogError::ReadOnly { .. }) => {
                Some("`syncline verify` names the damage; restore the log, or import an export into a new store")
            }
            EngineError::Behind { .. } => {
                Some("open it again; if that does not help, `syncline verify` names what cannot be read")
            }
            EngineError::State(_) => Some("`syncline rebuild` makes derived state anew; the log is not affected"),
            _ => None,
        }
    }
}

/// An error with its causes, each told once.
pub fn chain(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(why) = cause {
        let text = why.to_string();
        // Some messages hold their cause already.
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = why.source();
    }
    told
}
