//! Requests about grants, one by one.

use super::mapping::{Map, Unmap};
use super::moving::Copying;
use crate::answer::Answer;
use crate::model::state::Model;
use crate::no::No;
use crate::request::Request;

impl Model {
    pub(in crate::model) fn decide_grants(
        &mut self,
        request: &Request,
        engine: &Answer,
    ) -> Result<Answer, No> {
        match *request {
            Request::GrantSetup { dom, frames } => self.grant_setup(dom as usize, frames),
            Request::GrantVersion { dom, version } => self.grant_version(dom as usize, version),
            Request::GrantSwap {
                dom,
                reference,
                other,
            } => self.grant_swap(dom as usize, reference, other),
            Request::GrantMap {
                dom,
                vcpu,
                granter,
                reference,
                flags,
                host,
            } => {
                let map = Map {
                    dom: dom as usize,
                    vcpu: vcpu as usize,
                    granter: granter as usize,
                    reference,
                    flags,
                    host,
                };
                self.grant_map(&map, engine)
            }
            Request::GrantUnmap {
                dom,
                vcpu,
                handle,
                host,
                bus,
                new,
            } => self.grant_unmap(&Unmap {
                dom: dom as usize,
                vcpu: vcpu as usize,
                handle,
                host,
                bus,
                new,
            }),
            _ => self.decide_moving(request),
        }
    }

    fn decide_moving(&mut self, request: &Request) -> Result<Answer, No> {
        match *request {
            Request::GrantCopy {
                dom,
                source,
                from,
                from_offset,
                target,
                to,
                to_offset,
                length,
            } => self.grant_copy(&Copying {
                dom: dom as usize,
                from: (source, from),
                from_offset,
                to: (target, to),
                to_offset,
                length,
            }),
            Request::GrantTransfer {
                dom,
                frame,
                granter,
                reference,
            } => self.grant_transfer(dom as usize, frame, granter as usize, reference),
            Request::GrantRelease { dom } => {
                self.grant_release(dom as usize);
                Ok(Answer::Done)
            }
            Request::GrantLetGo { dom, mappings } => {
                self.grant_let_go(dom as usize, mappings);
                Ok(Answer::Done)
            }
            Request::GrantDestroy { dom } => Ok(match self.grant_destroy(dom as usize) {
                true => Answer::Done,
                false => Answer::False,
            }),
            _ => Ok(Answer::Done),
        }
    }
}
