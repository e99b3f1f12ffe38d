//! A world behind a real port, for a browser.

use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, Response, StatusCode, Uri};
use tokio::runtime::Runtime;

use crate::world::World;

type Job = Box<dyn FnOnce(&mut World) + Send>;

/// A world whose function URLs are served on a port of this machine.
///
/// A world stays on the thread that made it. So it has a thread of its own, and who wants something of it, the server or the test,
/// sends a closure there.
pub struct Site {
    jobs: Jobs,
    origin: String,
    requests: Requests,
    /// Serves until it is dropped.
    server: Option<Runtime>,
}

type Requests = Arc<Mutex<Vec<(Method, Uri)>>>;

#[derive(Clone)]
struct Jobs(Sender<Job>);

impl Jobs {
    fn run<R: Send + 'static>(&self, job: impl FnOnce(&mut World) -> R + Send + 'static) -> Result<R> {
        let (answer, answered) = channel();
        let job = move |world: &mut World| {
            let _ = answer.send(job(world));
        };
        self.0.send(Box::new(job)).ok().context("the world has ended")?;
        answered.recv().context("the world has ended in this job")
    }
}

impl Site {
    /// Makes the world and serves it.
    ///
    /// # Errors
    /// Where the world can't be made or no port is free.
    pub fn open(make: impl FnOnce() -> Result<World> + Send + 'static) -> Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (made, ready) = channel();
        std::thread::spawn(move || match make() {
            Ok(mut world) => {
                let _ = made.send(Ok(()));
                for job in queue {
                    job(&mut world);
                }
            }
            Err(error) => {
                let _ = made.send(Err(error));
            }
        });
        ready.recv().context("the world was not made")??;

        let jobs = Jobs(jobs);
        let requests = Requests::default();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let origin = format!("http://{}", listener.local_addr()?);
        let server = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .build()?;
        let served = axum::Router::new()
            .fallback(serve)
            .with_state((jobs.clone(), requests.clone()));
        let listener = {
            // A listener belongs to the runtime in which it is made.
            let _inside = server.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        server.spawn(async move { axum::serve(listener, served).await });
        Ok(Self {
            jobs,
            origin,
            requests,
            server: Some(server),
        })
    }

    /// Does something with the world, and waits for it.
    ///
    /// # Errors
    /// Where the world's thread has ended, by a panic here or before.
    pub fn world<R: Send + 'static>(&self, job: impl FnOnce(&mut World) -> R + Send + 'static) -> Result<R> {
        self.jobs.run(job)
    }

    /// The address of this site under which a link of the world is served.
    #[must_use]
    pub fn address(&self, link: &str) -> String {
        let path = link.find("/function-url/").and_then(|start| link.get(start..));
        format!("{}{}", self.origin, path.unwrap_or("/"))
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many requests of that method came for a function URL so far.
    #[must_use]
    pub fn requests(&self, method: &Method) -> usize {
        let requests = lock(&self.requests);
        let counted = |(of, uri): &&(Method, Uri)| of == method && uri.path().starts_with("/function-url/");
        requests.iter().filter(counted).count()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The runtime waits for its tasks where it is only dropped, and a browser may hold a connection.
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}

fn lock(requests: &Requests) -> MutexGuard<'_, Vec<(Method, Uri)>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers a browser as Lambda does: the function's status, headers and body.
async fn serve(
    State((jobs, requests)): State<(Jobs, Requests)>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response<Body> {
    lock(&requests).push((method.clone(), uri.clone()));
    // Waits for the world on this thread: one request at a time is all that there is.
    let answered = if uri.path().starts_with("/function-url/") {
        let body = String::from_utf8_lossy(&body).into_owned();
        let (method, link) = (method.to_string(), uri.to_string());
        jobs.run(move |world| world.request(&method, &link, &body))
            .and_then(|answer| answer)
            .and_then(|answer| {
                let mut response = Response::builder().status(answer.status);
                for (name, value) in &answer.headers {
                    response = response.header(name, value);
                }
                Ok(response.body(Body::from(answer.body))?)
            })
    } else {
        // A browser asks for an icon, too.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok(response)
    };
    answered.unwrap_or_else(|error| {
        let mut response = Response::new(Body::from(format!("{error:#}")));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}
