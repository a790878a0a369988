//! The connection of one read: opened when its first statement asks for it, kept for the next, closed with the
//! read, however that ends.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection};
use tokio_util::compat::Compat;

use super::socket::Stream;

/// What moves the bytes of a connection.
pub(super) type Mover = Connection<Compat<Stream>, NoTlsStream>;

thread_local! {
    static CURRENT: RefCell<Option<Lane>> = const { RefCell::new(None) };
}

/// What a read has of connections.
#[derive(Clone, Default)]
pub(super) struct Lane(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    idle: Option<Client>,
    movers: Vec<Mover>,
}

impl Lane {
    /// That of the read that is going on.
    pub(super) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The connection that nobody uses, if it is still good.
    pub(super) fn idle(&self) -> Option<Client> {
        let idle = self.0.borrow_mut().idle.take();
        idle.filter(|client| !client.is_closed())
    }

    pub(super) fn put(&self, client: Client) {
        self.0.borrow_mut().idle = Some(client);
    }

    /// Has the bytes of a connection moved while the read goes on.
    pub(super) fn moves(&self, mover: Mover) {
        self.0.borrow_mut().movers.push(mover);
    }

    fn poll(&self, context: &mut Context<'_>) {
        let mut state = self.0.borrow_mut();
        // One that has ended, well or not: whoever waits for it is told.
        state
            .movers
            .retain_mut(|mover| Pin::new(mover).poll(context).is_pending());
    }
}

/// A read with its lane.
pub(super) struct Reading<F> {
    lane: Lane,
    work: Pin<Box<F>>,
}

impl<F: Future> Reading<F> {
    pub(super) fn new(work: F) -> Self {
        Self {
            lane: Lane::default(),
            work: Box::pin(work),
        }
    }
}

impl<F: Future> Future for Reading<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let lane = self.lane.clone();
        let done = {
            let _entered = Entered(CURRENT.replace(Some(lane.clone())));
            self.work.as_mut().poll(context)
        };
        // What was asked for just now is sent; what has come wakes those who wait for it.
        if done.is_pending() {
            lane.poll(context);
        }
        done
    }
}

struct Entered(Option<Lane>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
    }
}
