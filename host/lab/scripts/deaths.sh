# machine: mem=768 dom0=512 smp=2 seconds=20000 guest_loglvl=none
# A thousand guests that share memory with each other and with a neighbour are killed at random moments; no frame is lost,
# the audit finds nothing, and the neighbour goes on. --set deaths=N, seed=S and every=N say how many, which, and how often is looked.
# As churn, but built by a program of ours and not by xl, which takes most of the time there.
! grep -q xenocryst /sys/hypervisor/version/extra || export DEATHS_STRICT=1
# Dom0 goes first: what it does is what takes the time.
step weight xl sched-credit2 -d Domain-0 -w 65535
step deaths deaths /boot/pv-churn "${deaths:-1000}" "${seed:-1}" "${every:-25}"
step list xl list
step audit audited
