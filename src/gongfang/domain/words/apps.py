"""Sentences about apps, releases and operations."""

from gongfang.domain.messages import register

register(
    {
        "app_not_found": (
            "There is no app {app} that you may see; `gongfang apps` lists those that there are.",
            "应用 {app} 不存在或您无权查看；可用 `gongfang apps` 查看列表。",
        ),
        "app_name_ambiguous": (
            "Several apps are called {app}; use the id of the one you mean.",
            "有多个名为 {app} 的应用，请改用应用 ID。",
        ),
        "app_name_taken": (
            "There is an app called {name} in this space already; choose another name.",
            "该空间中已有名为 {name} 的应用，请换一个名称。",
        ),
        "name_taken": ("That name is taken already; choose another one.", "该名称已被占用，请换一个。"),
        "value_out_of_range": (
            "A value is larger or smaller than the platform can keep.",
            "某个参数超出了平台可保存的范围。",
        ),
        "app_being_destroyed": ("The app {app} is being destroyed.", "应用 {app} 正在销毁。"),
        "app_not_started": ("The app {app} is not started; start it first.", "应用 {app} 未启动，请先启动。"),
        "changed_meanwhile": (
            "Somebody changed {app} in the meantime; read it again and decide anew.",
            "{app} 已被他人修改，请重新读取后再操作。",
        ),
        "nothing_to_start": (
            "Nothing was uploaded for {app} yet; upload a package first.",
            "应用 {app} 尚未上传程序包，请先上传。",
        ),
        "nothing_to_run": ("There is no release to run; upload a package.", "没有可运行的发布，请先上传程序包。"),
        "no_release_to_run": (
            "Nothing was ever built for {app}; upload a package and start the app once.",
            "应用 {app} 尚未构建过，请上传程序包并启动一次。",
        ),
        "package_not_found": ("The app has no package {package}.", "应用没有程序包 {package}。"),
        "build_not_found": ("There is no build {build} that you may see.", "构建 {build} 不存在或您无权查看。"),
        "task_not_found": ("There is no task {task} that you may see.", "任务 {task} 不存在或您无权查看。"),
        "release_not_found": ("The app has no release {release}.", "应用没有发布 {release}。"),
        "release_never_healthy": (
            "Release {release} never became healthy, so it is not rolled back to.",
            "发布 {release} 从未健康运行过，不能回滚到它。",
        ),
        "no_release_before": (
            "{app} has no earlier release that was healthy.",
            "应用 {app} 没有更早的健康发布。",
        ),
        "process_not_found": (
            "The app has no process {process}; it has: {known}.",
            "应用没有进程类型 {process}，现有：{known}。",
        ),
        "memory_or_instances_needed": (
            "Give `instances`, `memory_mb` or `disk_mb`, or several of them.",
            "请提供 instances、memory_mb、disk_mb 中的一项或多项。",
        ),
        "variable_reserved": (
            "{name} is set by the platform; PORT and GONGFANG_* cannot be given.",
            "{name} 由平台设置；PORT 与 GONGFANG_* 不能自定义。",
        ),
        "environment_too_large": (
            "All variables together have {size} bytes; at most {limit} are accepted.",
            "环境变量共 {size} 字节，上限为 {limit} 字节。",
        ),
        "superseded": (
            "A newer operation ({operation}) took its place.",
            "已被更新的操作 {operation} 取代。",
        ),
        "cancelled_by_request": (
            "It was cancelled on request; the former release runs as before.",
            "已按请求取消，原发布照常运行。",
        ),
        "deadline_passed": (
            "It did not end by its deadline and was given up.",
            "操作超过截止时间未完成，已放弃。",
        ),
        "start_timeout": (
            "The {process} process did not pass its health check within {seconds} seconds of its start (last "
            "seen: {what}). Does it listen on the port in $PORT, and answer its check's path? If it needs longer, raise "
            "`start_timeout_s`.",
            "{process} 进程启动后 {seconds} 秒内未通过健康检查（最近一次结果：{what}）。请确认它监听 $PORT 指定的端口；如需更久，请调大 start_timeout_s。",
        ),
        "instance_crashed": ("An instance ended by itself.", "实例自行退出。"),
        "liveness_failed": (
            "The liveness check of {process} failed {failures} times in a row ({what}); the instance is replaced.",
            "{process} 的存活检查连续失败 {failures} 次（{what}），实例将被替换。",
        ),
        "readiness_failed": (
            "The readiness check of {process} fails ({what}); it gets no requests until it passes.",
            "{process} 的就绪检查失败（{what}），恢复前不再接收请求。",
        ),
        "exited_at_start": (
            "The process ended with exit code 0, but it should run on.",
            "进程以退出码 0 结束，但它应当持续运行。",
        ),
        "launch_failed": ("The instance could not be started: {what}", "实例无法启动：{what}"),
        "build_cancelled": ("The build was cancelled.", "构建已取消。"),
        "build_failed": (
            "The build's commands ended with exit code {code}; the end of its log says why.",
            "构建命令以退出码 {code} 结束，原因见构建日志末尾。",
        ),
        "build_signal": ("The build was ended by signal {signal}.", "构建被信号 {signal} 终止。"),
        "build_oom": (
            "The build ran out of memory at its limit of {memory_mb} MB.",
            "构建内存超出 {memory_mb} MB 限额。",
        ),
        "build_disk_full": (
            "The build wrote more than its disk limit of {disk_mb} MB, or the machine's disk is nearly full. Its cache has "
            "been cleared; make it write less, or have an administrator raise GONGFANG_BUILD_DISK_MB.",
            "构建写入超出 {disk_mb} MB 磁盘限额，或本机磁盘将满。其缓存已清除；请减少构建产物，或请管理员调高 GONGFANG_BUILD_DISK_MB。",
        ),
        "build_timeout": ("The build took longer than {seconds} seconds.", "构建超过 {seconds} 秒仍未完成。"),
        "build_lost": (
            "The build's sandbox disappeared (a reboot, or a kill from outside); start it again.",
            "构建沙箱已消失（机器重启或被外部终止），请重新发起。",
        ),
        "task_failed": ("The task ended with exit code {code}.", "任务以退出码 {code} 结束。"),
        "task_timeout": ("The task took longer than {seconds} seconds.", "任务超过 {seconds} 秒仍未完成。"),
        "task_cancelled": ("The task was cancelled on request.", "任务已按请求取消。"),
        "step_build": ("Building the package", "构建程序包"),
        "step_release": ("Making the release", "生成发布"),
        "step_roll_out": ("Bringing in release {release}", "上线发布 {release}"),
        "step_scale": ("Changing the number of instances", "调整实例数"),
        "step_stop": ("Stopping instances", "停止实例"),
        "step_task": ("Running the task", "运行任务"),
        "step_remove": ("Removing what is left", "清理残留"),
    }
)
