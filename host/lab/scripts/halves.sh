# machine: mem=1024 dom0=512 smp=2 seconds=1800
# Domains built up to a random point, and partly wrong, are destroyed there: nothing of them is left.
# --set rounds=300 --set seed=1 says how many, and which.
rounds=${rounds:-300}
# Xen's own heap keeps some frames for later, though less than one for every other domain.
lost=$((rounds / 2))
! grep -q xenocryst /sys/hypervisor/version/extra || lost=0
step halves halves "$rounds" "${seed:-1}" "$lost"
step list xl list
