/* frames: how many frames the machine has, how many nobody has, and how many each domain has; one NAME=VALUE a line.
 * xl tells MiB only, and a lost frame does not show in these. On Xenocryst also how many discrepancies its audit of all
 * frames finds, unless there is an argument: the audit takes some time. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/sys/privcmd.h>

enum { MOST_DOMAINS = 64 };

/* What the hypervisor reads and writes; locked, as it must not be paged out meanwhile. */
static union {
    struct xen_sysctl sysctl;
    unsigned char page[4096];
} request __attribute__((aligned(4096)));
static struct xen_domctl_getdomaininfo domains[MOST_DOMAINS] __attribute__((aligned(4096)));

static int sysctl(int privcmd, uint32_t command)
{
    struct privcmd_hypercall call = { .op = __HYPERVISOR_sysctl, .arg = { (uintptr_t)&request.sysctl } };
    request.sysctl.cmd = command;
    request.sysctl.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
}

int main(int argc, char **argv)
{
    int privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (privcmd < 0 || mlockall(MCL_CURRENT)) {
        perror("frames");
        return 1;
    }
    if (sysctl(privcmd, XEN_SYSCTL_physinfo)) {
        perror("physinfo");
        return 1;
    }
    struct xen_sysctl_physinfo *machine = &request.sysctl.u.physinfo;
    printf("total=%llu\n", (unsigned long long)machine->total_pages);
    /* What is being scrubbed is nobody's either. */
    printf("free=%llu\n", (unsigned long long)(machine->free_pages + machine->scrub_pages));
    printf("claimed=%llu\n", (unsigned long long)machine->outstanding_pages);

    memset(&request, 0, sizeof request);
    memset(domains, 0, sizeof domains);
    request.sysctl.u.getdomaininfolist.max_domains = MOST_DOMAINS;
    set_xen_guest_handle(request.sysctl.u.getdomaininfolist.buffer, domains);
    if (sysctl(privcmd, XEN_SYSCTL_getdomaininfolist)) {
        perror("getdomaininfolist");
        return 1;
    }
    for (uint32_t i = 0; i < request.sysctl.u.getdomaininfolist.num_domains; i++)
        printf("domain%u=%llu\n", domains[i].domain, (unsigned long long)domains[i].tot_pages);

    (void)argv;
    if (argc > 1)
        return 0;
    /* Xenocryst's own call; Xen answers that there is none. */
    struct privcmd_hypercall audit = { .op = __HYPERVISOR_arch_7, .arg = { 0, 0 } };
    int discrepancies = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &audit);
    if (discrepancies >= 0)
        printf("audit=%d\n", discrepancies);
    return 0;
}
