# machine: mem=1024 dom0=512 smp=1 seconds=1800
# An unprivileged guest asks for everything that only dom0 may have; the machine and dom0 stay as they were.
before=$(frames | sed -n '/^domain0=/p')
config ordinary
step create create ordinary
step ready ready ordinary
step answers guest ordinary privileges
step still-answers guest ordinary 'echo here'
step dom0-as-it-was [ "$before" = "$(frames | sed -n '/^domain0=/p')" ]
step list xl list
step destroy xl destroy ordinary
step gone gone ordinary
