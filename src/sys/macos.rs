//! macOS: memory of a process and of the machine, which libc gives only through raw calls.

use std::io;

/// Physical footprint of a process, bytes: what Activity Monitor shows and what jetsam counts.
///
/// # Errors
/// `ESRCH` when it is gone, `EPERM` when it is somebody else's.
pub fn footprint_bytes(pid: i32) -> io::Result<u64> {
    // SAFETY: rusage_info_v4 is plain data and the call fills it for RUSAGE_INFO_V4.
    unsafe {
        let mut info: libc::rusage_info_v4 = std::mem::zeroed();
        let status = libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, (&raw mut info).cast());
        if status == 0 {
            Ok(info.ri_phys_footprint)
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Bytes a process has read from and written to disk.
///
/// # Errors
/// As [`footprint_bytes`].
pub fn disk_io_bytes(pid: i32) -> io::Result<u64> {
    // SAFETY: as above.
    unsafe {
        let mut info: libc::rusage_info_v4 = std::mem::zeroed();
        let status = libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, (&raw mut info).cast());
        if status == 0 {
            Ok(info.ri_diskio_bytesread + info.ri_diskio_byteswritten)
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// The children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let mut pids = vec![0i32; 1024];
    // SAFETY: the buffer's size in bytes is passed; the call writes no more than that.
    let count = unsafe {
        let size = (pids.len() * std::mem::size_of::<i32>()) as libc::c_int;
        libc::proc_listchildpids(pid, pids.as_mut_ptr().cast(), size)
    };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids
}

/// Memory of the machine: (total, available) bytes. Available is free, inactive, speculative and purgeable pages.
///
/// # Errors
/// When sysctl or the Mach host port refuse.
pub fn machine_bytes() -> io::Result<(u64, u64)> {
    // SAFETY: sizes of the buffers are passed; the structs are plain data.
    unsafe {
        let mut total = 0u64;
        let mut size = std::mem::size_of::<u64>();
        let name = c"hw.memsize";
        if libc::sysctlbyname(
            name.as_ptr(),
            (&raw mut total).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        ) != 0
        {
            return Err(io::Error::last_os_error());
        }
        let mut vm: libc::vm_statistics64 = std::mem::zeroed();
        let mut count = libc::HOST_VM_INFO64_COUNT;
        #[allow(deprecated)] // libc points to the mach2 crate; one call is not worth a dependency
        let host = libc::mach_host_self();
        if libc::host_statistics64(
            host,
            libc::HOST_VM_INFO64,
            (&raw mut vm).cast(),
            &raw mut count,
        ) != 0
        {
            return Err(io::Error::other("host_statistics64 failed"));
        }
        let page = libc::sysconf(libc::_SC_PAGESIZE) as u64;
        let pages =
            u64::from(vm.free_count) + u64::from(vm.inactive_count) + u64::from(vm.purgeable_count);
        Ok((total, pages * page))
    }
}
