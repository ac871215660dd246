//! Whether a tenant can do its work: its store takes events, and its tasks run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The tasks of a tenant that have to run. Clones share it.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, u32>>>);

impl Health {
    /// Notes that a task has begun and has to run until it says that it is done; a task that only goes, as by a
    /// panic, counts as dead from then on, until one of its name begins anew.
    pub fn begin(&self, task: &str) -> Running {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The number tells a task from its predecessor, whose end no longer counts.
        let turn = tasks.get(task).map_or(1, |turn| turn.wrapping_add(2) | 1);
        tasks.insert(task.to_owned(), turn);
        Running { health: self.clone(), task: task.to_owned(), turn }
    }

    /// The tasks that ended without having said that they were done, by name.
    pub fn dead(&self) -> Vec<String> {
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().filter(|(_, turn)| **turn % 2 == 0).map(|(task, _)| task.clone()).collect()
    }
}

/// A task that runs.
pub struct Running {
    health: Health,
    task: String,
    turn: u32,
}

impl Running {
    /// The task has ended as it was meant to.
    pub fn done(self) {
        let mut tasks = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.get(&self.task) == Some(&self.turn) {
            tasks.remove(&self.task);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut tasks = self.health.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = tasks.get_mut(&self.task).filter(|turn| **turn == self.turn) {
            *turn += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_only_goes_is_dead_until_it_begins_anew() {
        let health = Health::default();
        let task = health.begin("send to crm");
        assert!(health.dead().is_empty());
        drop(task);
        assert_eq!(health.dead(), ["send to crm"]);
        let anew = health.begin("send to crm");
        assert!(health.dead().is_empty());
        anew.done();
        assert!(health.dead().is_empty());
    }

    #[test]
    fn the_end_of_a_predecessor_does_not_count() {
        let health = Health::default();
        let old = health.begin("poll crm");
        let new = health.begin("poll crm");
        drop(old);
        assert!(health.dead().is_empty());
        drop(new);
        assert_eq!(health.dead(), ["poll crm"]);
    }
}
