/*
 * hypercall: hypercalls that no other program makes. Prints `answer=NUMBER`, the value or the negative errno.
 *
 *   hypercall keys KEYS    presses debug keys (XEN_SYSCTL_debug_keys)
 *   hypercall audit        audits all frames (xenocryst_op): the number of discrepancies
 *   hypercall flood COUNT  asks COUNT times for a page-table update that is refused
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/sysctl.h>
#include <xen/sys/privcmd.h>

/* Our own number, on which Xen has nothing. */
#define XENOCRYST_OP __HYPERVISOR_arch_7

/* What the hypervisor reads; locked, as it must not be paged out meanwhile. */
static struct {
    struct xen_sysctl sysctl;
    char keys[128];
    struct mmu_update update;
} request __attribute__((aligned(4096)));

static int privcmd;

static long call(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct privcmd_hypercall hypercall = { .op = number, .arg = { a, b, c, d } };
    int answer = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &hypercall);
    return answer < 0 ? -(long)errno : answer;
}

static long keys(const char *pressed)
{
    memset(&request, 0, sizeof request);
    snprintf(request.keys, sizeof request.keys, "%s", pressed);
    request.sysctl.cmd = XEN_SYSCTL_debug_keys;
    request.sysctl.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    set_xen_guest_handle(request.sysctl.u.debug_keys.keys, request.keys);
    request.sysctl.u.debug_keys.nr_keys = strlen(request.keys);
    return call(__HYPERVISOR_sysctl, (uintptr_t)&request.sysctl, 0, 0, 0);
}

/* Frame 1 is the hypervisor's on every machine. */
static long flood(long count)
{
    long answer = 0;
    request.update.ptr = 1 << 12;
    request.update.val = 0;
    for (long i = 0; i < count; i++)
        answer = call(__HYPERVISOR_mmu_update, (uintptr_t)&request.update, 1, 0, DOMID_SELF);
    return answer;
}

int main(int argc, char **argv)
{
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (privcmd < 0 || mlockall(MCL_CURRENT)) {
        perror("hypercall");
        return 1;
    }
    long answer;
    if (argc == 3 && !strcmp(argv[1], "keys")) answer = keys(argv[2]);
    else if (argc == 2 && !strcmp(argv[1], "audit")) answer = call(XENOCRYST_OP, 0, 0, 0, 0);
    else if (argc == 3 && !strcmp(argv[1], "flood")) answer = flood(atol(argv[2]));
    else return 2;
    printf("answer=%ld\n", answer);
    return 0;
}
