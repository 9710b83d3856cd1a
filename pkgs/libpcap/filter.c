/* Prints what a filter of packets is compiled to. */
#include <pcap/pcap.h>
#include <stdio.h>

int main(int count, char **arguments)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
    struct bpf_program program;
    if (count != 2 || pcap == NULL)
        return 2;
    if (pcap_compile(pcap, &program, arguments[1], 1, PCAP_NETMASK_UNKNOWN) != 0) {
        fprintf(stderr, "%s\n", pcap_geterr(pcap));
        return 1;
    }
    bpf_dump(&program, 1);
    return 0;
}
